// Listens on /ws/alerts with the package ws. Each message is printed as a line {"at": MS, "message": …}, where
// at is the time of receipt. Exits with 0 once --count changes were seen (hello and gap aren't changes; with 0,
// at the hello), 1 at the time-out, 3 when the server closed or refused the connection.
import { load, parseCommandLine } from './lib.mjs'

const WebSocket = load('ws')
const options = parseCommandLine('ws_client.mjs ws://HOST:PORT/ws/alerts[?since=EPOCH:SEQ] [--count N] [--timeout MS] [--header K=V]...', {
  count: { type: 'string', default: '1' },
  timeout: { type: 'string', default: '10000' },
  header: { type: 'string', multiple: true, default: [] }
})
const wanted = Number(options.count)
let changes = 0

const socket = new WebSocket(options.argument, {
  headers: Object.fromEntries(options.header.map(pair => pair.split(/=(.*)/s, 2)))
})
const timer = setTimeout(() => end(1, `${changes} of ${wanted} changes in ${options.timeout} ms`), Number(options.timeout))

function end (status, words) {
  clearTimeout(timer)
  if (words) console.error(words)
  process.exitCode = status // and not exit(): what was printed into a pipe may still be on its way
  socket.removeAllListeners()
  socket.on('error', () => {})
  socket.terminate()
}

socket.on('message', (data, isBinary) => {
  const at = Date.now()
  if (isBinary) return end(3, 'a binary message')
  let message
  try { message = JSON.parse(data.toString()) } catch (error) { return end(3, `not JSON: ${data}`) }
  console.log(JSON.stringify({ at, message }))
  if (message.change !== undefined) changes++
  if (changes >= wanted) end(0)
})
socket.on('close', (code, reason) => end(3, `closed by the server: ${code} ${reason}`))
socket.on('unexpected-response', (request, response) => end(3, `refused: HTTP ${response.statusCode}`))
socket.on('error', error => end(3, String(error)))
