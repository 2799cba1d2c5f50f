// A browser for tests in another language: reads a JSON object a line, answers with one a line. Started as
//   node browser.mjs USER_DATA_DIR        (an empty folder of its own)
// Commands are the keys of `commands` below: {"do":"goto","url":"…"} → {"ok":true,"value":…} or {"ok":false,"error":"…"}
import { createInterface } from 'node:readline'
import { load } from './lib.mjs'

const { chromium } = load('playwright-core')
const context = await chromium.launchPersistentContext(process.argv[2], {
  executablePath: process.env.STACKLENS_TEST_CHROMIUM || '/usr/bin/chromium',
  headless: true,
  chromiumSandbox: false, // containers lack what the sandbox needs
  viewport: { width: 1280, height: 800 },
  args: ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage']
})
const page = context.pages()[0] || await context.newPage()

// What went wrong inside the page and would be seen by nobody.
const errors = []
page.on('pageerror', error => errors.push(`exception: ${error.message}`))
page.on('console', message => { if (message.type() === 'error') errors.push(`console: ${message.text()}`) })
page.on('requestfailed', request => errors.push(`request failed: ${request.url()} ${request.failure()?.errorText}`))

// timeout: ms; selectors are Playwright's (CSS, text=…, role=…).
const commands = {
  goto: async ({ url, timeout }) => (await page.goto(url, { timeout }))?.status() ?? null,
  reload: async ({ timeout }) => (await page.reload({ timeout }))?.status() ?? null,
  waitFor: async ({ selector, state, timeout }) => { await page.waitForSelector(selector, { state, timeout }) },
  // Waits until the first match's text holds this.
  waitForText: async ({ selector, text, timeout }) => {
    await page.locator(selector).filter({ hasText: text }).first().waitFor({ state: 'attached', timeout })
  },
  text: async ({ selector, timeout }) => page.locator(selector).first().innerText({ timeout }),
  texts: async ({ selector }) => page.locator(selector).allInnerTexts(),
  attribute: async ({ selector, name, timeout }) => page.locator(selector).first().getAttribute(name, { timeout }),
  count: async ({ selector }) => page.locator(selector).count(),
  click: async ({ selector, timeout }) => { await page.locator(selector).first().click({ timeout }) },
  fill: async ({ selector, value, timeout }) => { await page.locator(selector).first().fill(value, { timeout }) },
  select: async ({ selector, value, timeout }) => { await page.locator(selector).first().selectOption(value, { timeout }) },
  press: async ({ key }) => { await page.keyboard.press(key) },
  evaluate: async ({ script }) => page.evaluate(script),
  resize: async ({ width, height }) => { await page.setViewportSize({ width, height }) },
  screenshot: async ({ path }) => { await page.screenshot({ path, fullPage: true }) },
  title: async () => page.title(),
  url: async () => page.url(),
  // Those so far; the list starts anew.
  errors: async () => errors.splice(0),
  close: async () => { await context.close() }
}

const answer = object => process.stdout.write(JSON.stringify(object) + '\n')
answer({ ok: true, value: context.browser()?.version() ?? null })
for await (const line of createInterface({ input: process.stdin })) {
  const { do: name, ...options } = JSON.parse(line)
  try {
    if (!Object.hasOwn(commands, name)) throw new Error(`no such command: ${name}`)
    answer({ ok: true, value: await commands[name]({ timeout: 10000, ...options }) ?? null })
  } catch (error) {
    answer({ ok: false, error: error.message })
  }
  if (name === 'close') break
}
await context.close().catch(() => {}) // at the end of the input: the test has ended without a word
process.exit(0)
