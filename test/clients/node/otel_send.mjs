// Sends log records with OpenTelemetry's own SDK: SDK, batch processor and exporter as in a service. The two
// programs beside this differ in the exporter alone. Exits with 0 when the exporter reported success for
// every record and the server rejected none.
import { load, parseCommandLine } from './lib.mjs'

const { diag, DiagLogLevel } = load('@opentelemetry/api')
const { SeverityNumber } = load('@opentelemetry/api-logs')
const { LoggerProvider, BatchLogRecordProcessor } = load('@opentelemetry/sdk-logs')
const { resourceFromAttributes } = load('@opentelemetry/resources')

export async function main (name, Exporter) {
  const options = parseCommandLine(
    `${name} URL [--count N] [--service NAME] [--severity INFO|WARN|ERROR|FATAL] [--message TEXT]
       [--error-code CODE] [--attribute K=V]... [--header K=V]... [--gzip] [--batch N] [--timeout MS]`, {
      count: { type: 'string', default: '1' },
      service: { type: 'string', default: 'checkout' },
      severity: { type: 'string', default: 'ERROR' },
      message: { type: 'string', default: 'payment failed' },
      'error-code': { type: 'string', default: 'E1001' },
      attribute: { type: 'string', multiple: true, default: [] },
      header: { type: 'string', multiple: true, default: [] },
      gzip: { type: 'boolean', default: false },
      batch: { type: 'string', default: '512' },
      timeout: { type: 'string', default: '10000' }
    })
  const pairs = list => Object.fromEntries(list.map(pair => pair.split(/=(.*)/s, 2)))
  const count = Number(options.count)

  // A partial success (some records rejected) is a warning to the SDK and a failure to us.
  let warned = false
  const complain = (...words) => { warned = true; console.error(...words) }
  diag.setLogger({ error: complain, warn: complain, info () {}, debug () {}, verbose () {} }, DiagLogLevel.WARN)

  const exporter = new Exporter({
    url: options.argument,
    headers: pairs(options.header),
    compression: options.gzip ? 'gzip' : 'none',
    timeoutMillis: Number(options.timeout)
  })
  let sent = 0
  const exportRecords = exporter.export.bind(exporter)
  exporter.export = (records, done) => exportRecords(records, result => {
    if (result.code === 0) sent += records.length
    else console.error(`export failed: ${result.error}`)
    done(result)
  })

  const processor = new BatchLogRecordProcessor({
    exporter,
    maxQueueSize: count + 1,
    maxExportBatchSize: Math.min(Number(options.batch), count + 1),
    exportTimeoutMillis: Number(options.timeout)
  })
  const provider = new LoggerProvider({
    resource: resourceFromAttributes({ 'service.name': options.service, 'deployment.environment.name': 'test' }),
    processors: [processor]
  })
  const logger = provider.getLogger('stacklens-test', '1.0.0')
  for (let i = 0; i < count; i++) {
    logger.emit({
      timestamp: Date.now(),
      severityNumber: SeverityNumber[options.severity],
      severityText: options.severity,
      body: options.message,
      attributes: {
        error_code: options['error-code'],
        request_id: `req-${process.pid}-${i}`,
        n: i,
        ratio: 0.5,
        retried: i % 2 === 1,
        tags: ['a', 'b'],
        http: { method: 'POST', status: 502 },
        ...pairs(options.attribute)
      }
    })
  }
  await provider.forceFlush().catch(complain)
  await provider.shutdown().catch(complain)
  console.log(sent)
  process.exit(sent === count && !warned ? 0 : 1)
}
