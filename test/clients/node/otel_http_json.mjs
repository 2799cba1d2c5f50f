// OTLP/HTTP with JSON bodies.
import { load } from './lib.mjs'
import { main } from './otel_send.mjs'

main('otel_http_json.mjs', load('@opentelemetry/exporter-logs-otlp-http').OTLPLogExporter)
