"""boto3 against an endpoint in this process that speaks a little S3 and STS."""

from __future__ import annotations

import io
import os
import threading
import time
from typing import Any, ClassVar

os.environ |= {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}

import boto3
import boto3.s3.transfer
import botocore.config

from local_http import Handler, Server
from together import COUNT, LIMIT, PAUSE, Service, measure

IDENTITY = b"""<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<GetCallerIdentityResult><Account>123456789012</Account></GetCallerIdentityResult>
</GetCallerIdentityResponse>"""
STARTED = b"<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
FINISHED = b"<CompleteMultipartUploadResult><Key>parts</Key></CompleteMultipartUploadResult>"
PARTS = 3
PART = 5 * 1024 * 1024


class Amazon(Handler):
    """GetObject waits, GetCallerIdentity stands at the gate, no part is stored before all come."""

    received: ClassVar[list[int]] = []
    all_parts = threading.Barrier(PARTS)

    def do_GET(self) -> None:
        time.sleep(LIMIT if self.path.endswith("never") else PAUSE)
        self.answer(b"object", "application/octet-stream")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        if self.path.endswith("?uploads"):
            self.answer(STARTED, "application/xml")
        elif "uploadId" in self.path:
            self.answer(FINISHED, "application/xml")
        else:
            self.gate.enter()
            self.answer(IDENTITY, "text/xml")

    def do_PUT(self) -> None:
        self.received.append(len(self.rfile.read(int(self.headers["Content-Length"]))))
        self.all_parts.wait(LIMIT)
        self.send_response(200)
        self.send_header("ETag", '"1"')
        self.send_header("Content-Length", "0")
        self.end_headers()


class Boto3(Service):
    """One S3 and one STS client for all threads, as boto3 recommends."""

    def __init__(self) -> None:
        self.server = Server(Amazon)
        self.gate = self.server.gate
        self.s3 = self.client("s3")
        self.sts = self.client("sts")

    def client(self, name: str, **options: Any) -> Any:
        settings = botocore.config.Config(
            max_pool_connections=COUNT,
            retries={"total_max_attempts": 1},
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            **options,
        )
        return boto3.client(name, endpoint_url=self.server.url, config=settings)

    def wait(self, session: Any) -> None:
        assert self.s3.get_object(Bucket="bucket", Key="wait")["Body"].read() == b"object"

    def enter(self, session: Any) -> None:
        assert self.sts.get_caller_identity()["Account"] == "123456789012"

    def time_out(self) -> str:
        """The exception that the library raises when an answer does not come in time."""
        try:
            self.client("s3", read_timeout=0.05).get_object(Bucket="bucket", Key="never")
        except Exception as error:
            return type(error).__name__
        return ""

    def upload(self) -> list[int]:
        """The sizes in which an upload arrives, whose parts s3transfer's threads send at once."""
        settings = boto3.s3.transfer.TransferConfig(
            multipart_threshold=PART, multipart_chunksize=PART, max_concurrency=PARTS
        )
        body = io.BytesIO(bytes(PARTS * PART))
        self.s3.upload_fileobj(body, "bucket", "parts", Config=settings)
        return Amazon.received


def main() -> None:
    service = Boto3()
    measure(service, time_out=service.time_out(), uploaded=service.upload())
