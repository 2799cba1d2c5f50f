#!/usr/bin/env python3
"""Sends log records with OpenTelemetry's Python SDK (OTLP/HTTP, protobuf): a sender independent of the Node one.

Run by the cache's python (test/deps/fetch.sh python). Exits with 0 when the exporter reported success for every
record.
"""
import argparse
import os
import sys
import time

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

sent = 0


class CountingExporter(OTLPLogExporter):
    def export(self, batch):
        global sent
        result = super().export(batch)
        if result.name == "SUCCESS":
            sent += len(batch)
        return result


def pair(text):
    key, value = text.split("=", 1)
    return key, value


parser = argparse.ArgumentParser()
parser.add_argument("url")
parser.add_argument("--count", type=int, default=1)
parser.add_argument("--service", default="checkout")
parser.add_argument("--severity", default="ERROR", choices=["INFO", "WARN", "ERROR", "FATAL"])
parser.add_argument("--message", default="payment failed")
parser.add_argument("--error-code", default="E1001")
parser.add_argument("--attribute", type=pair, action="append", default=[])
parser.add_argument("--header", type=pair, action="append", default=[])
parser.add_argument("--gzip", action="store_true")
parser.add_argument("--batch", type=int, default=512)
parser.add_argument("--timeout", type=int, default=10000, help="ms")
options = parser.parse_args()

exporter = CountingExporter(
    endpoint=options.url,
    headers=dict(options.header),
    timeout=options.timeout / 1000,
    compression=Compression.Gzip if options.gzip else Compression.NoCompression,
)
provider = LoggerProvider(Resource.create({"service.name": options.service, "deployment.environment.name": "test"}))
provider.add_log_record_processor(
    BatchLogRecordProcessor(
        exporter, max_queue_size=options.count + 1, max_export_batch_size=min(options.batch, options.count + 1)
    )
)
logger = provider.get_logger("stacklens-test", "1.0.0")
for i in range(options.count):
    now = time.time_ns()
    logger.emit(
        LogRecord(
            timestamp=now,
            observed_timestamp=now,
            severity_number=SeverityNumber[options.severity],
            severity_text=options.severity,
            body=options.message,
            attributes={
                "error_code": options.error_code,
                "request_id": f"req-{os.getpid()}-{i}",
                "n": i,
                "ratio": 0.5,
                "retried": i % 2 == 1,
                "tags": ["a", "b"],
                "http": {"method": "POST", "status": 502},
                **dict(options.attribute),
            },
        )
    )
provider.force_flush(options.timeout)
provider.shutdown()
print(sent)
sys.exit(0 if sent == options.count else 1)
