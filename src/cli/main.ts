#!/usr/bin/env node
import { processIo } from './io.js';
import { runCli } from './run.js';

// A reader that has seen enough (`ferry list | head -1`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

process.exitCode = await runCli(process.argv.slice(2), processIo());
