// OTLP/HTTP with protobuf bodies.
import { load } from './lib.mjs'
import { main } from './otel_send.mjs'

main('otel_http_proto.mjs', load('@opentelemetry/exporter-logs-otlp-proto').OTLPLogExporter)
