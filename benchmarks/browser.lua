-- Requests for wrk, with the eleven headers that Firefox sends when it opens a page.
-- Words after "--" on wrk's command line change them:
--   close   asks for a new connection per request
--   vary    no request is like another: each has a Cookie and a query of its own
--   trace   the same with a traceparent in place of the Cookie, which is no secret
--   post    sends a form of 2 KiB

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

-- The bytes between which each request's own number stands; all of it where there is none.
local pieces
local turn = 0

local function split(text)
  local parts = {}
  for part in (text .. "@number@"):gmatch("(.-)@number@") do parts[#parts + 1] = part end
  return parts
end

function init(arguments)
  local method, path, body = "GET", wrk.path, nil
  for _, word in ipairs(arguments) do
    if word == "close" then headers["Connection"] = "close" end
    if word == "vary" then headers["Cookie"] = "session=0123456789abcdef@number@; theme=dark" end
    if word == "trace" then
      headers["traceparent"] = "00-0af7651916cd43dd8448@number@-b7ad6b7169203331-01"
    end
    if word == "vary" or word == "trace" then path = path .. "?visitor=@number@" end
    if word == "post" then
      method = "POST"
      body = "text=" .. string.rep("x", 2043)
      headers["Content-Type"] = "application/x-www-form-urlencoded"
    end
  end
  pieces = split(wrk.format(method, path, headers, body))
end

function request()
  if #pieces == 1 then return pieces[1] end
  turn = turn + 1
  return table.concat(pieces, string.format("%012d", turn))
end
