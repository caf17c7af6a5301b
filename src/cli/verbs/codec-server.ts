import type { Command } from 'commander';
import type { Cli } from '../cli.js';
import { CliError, EXIT } from '../exit.js';

interface CodecServerOptions {
  listen: string;
  origin?: string[];
  token?: string;
}

export function codecServer(program: Command, cli: Cli): void {
  program
    .command('codec-server')
    .description(
      'decrypt for the Temporal UI and the command `temporal`, with the keys of FERRY_CODEC_KEYS; ends with Ctrl-C',
    )
    .option(
      '--listen <ip:port>',
      'where it listens; beyond this machine only with a token, and behind TLS',
      '127.0.0.1:8081',
    )
    .option(
      '--origin <url>',
      'where the Temporal UI is, as the browser shows it: http://localhost:8233 (repeatable)',
      (one: string, all: string[] = []) => [...all, one],
    )
    .option('--token <reference>', 'a bearer token that everybody must send: env:NAME, or the path of a file')
    .action(async ({ listen, origin = [], token: reference }: CodecServerOptions) => {
      const [{ serveCodec }, { FerryError }] = await Promise.all([
        import('../serve-codec.js'),
        import('../../errors.js'),
      ]);
      try {
        await serveCodec(cli.io, { listen, origins: origin, reference });
      } catch (error) {
        if (!(error instanceof FerryError)) throw error;
        throw new CliError(error.message, { code: EXIT.usage, cause: error });
      }
    });
}
