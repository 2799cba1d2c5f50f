// What the clients here share.
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const cache = process.env.STACKLENS_TEST_CACHE || fileURLToPath(new URL('../../.cache', import.meta.url))

// Packages lie in the test cache (test/deps/fetch.sh node), not beside this file, so a plain import finds none.
export const load = createRequire(`${cache}/node/`)

// parseArgs, with what is wrong said in a line and exit status 2.
export function parseCommandLine (usage, options) {
  try {
    const { values, positionals } = parseArgs({ options, allowPositionals: true })
    if (positionals.length !== 1) throw new Error('one argument is wanted')
    return { ...values, argument: positionals[0] }
  } catch (error) {
    console.error(`${error.message}\nusage: ${usage}`)
    process.exit(2)
  }
}
