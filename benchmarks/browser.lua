-- Requests for wrk, with the eleven headers that Firefox sends when it opens a page.
-- Words after "--" on wrk's command line change them:
--   close   asks for a new connection per request
--   vary    a thousand visitors in turns: each has a Cookie and a query of its own

local headers = {
  ["Host"] = "127.0.0.1:8000",
  ["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
  ["Accept"] = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
  ["Accept-Language"] = "en-US,en;q=0.5",
  ["Accept-Encoding"] = "gzip, deflate, br, zstd",
  ["Connection"] = "keep-alive",
  ["Upgrade-Insecure-Requests"] = "1",
  ["Sec-Fetch-Dest"] = "document",
  ["Sec-Fetch-Mode"] = "navigate",
  ["Sec-Fetch-Site"] = "none",
  ["Sec-Fetch-User"] = "?1",
}

local requests = {}
local turn = 0

function init(arguments)
  local vary = false
  for _, word in ipairs(arguments) do
    if word == "close" then headers["Connection"] = "close" end
    if word == "vary" then vary = true end
  end
  local path = wrk.path
  for visitor = 1, vary and 1000 or 1 do
    if vary then
      headers["Cookie"] = string.format("session=%032d; theme=dark", visitor)
      path = string.format("%s?visitor=%d", wrk.path, visitor)
    end
    requests[visitor] = wrk.format("GET", path, headers)
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end
