/** Reads the input of `ferry start`, and refuses what the workflow would refuse, before anything is started. Heavy: import it lazily. */
import { readFile } from 'node:fs/promises';
import type { z } from 'zod';
import { STRATEGIES, workflowIdOf, type Strategy } from '../contract.js';
import { commonProblems, type CommonInput } from '../inputs/common.js';
import { SCHEMAS } from '../index.js';
import { CliError, EXIT } from './exit.js';
import { problemsOf, type Problem } from './explain.js';
import type { Io } from './io.js';
import { isRecord } from '../receipt/words.js';

export interface Parsed {
  strategy: Strategy;
  /** As it was written, with what the flags add; the workflow fills in the defaults. */
  input: Record<string, unknown>;
  workflowId: string;
}

const STRATEGY_NAMES = Object.keys(STRATEGIES) as Strategy[];

export async function readInput(options: {
  io: Io;
  strategy: string;
  input: string;
  gates: readonly string[];
  dryRun: boolean;
}): Promise<Parsed> {
  const strategy = STRATEGY_NAMES.find((name) => name === options.strategy);
  if (strategy === undefined) {
    throw new CliError(`There is no strategy "${options.strategy}".`, {
      code: EXIT.usage,
      next: [`Known: ${STRATEGY_NAMES.join(', ')}`],
    });
  }
  const { text, from } = await textOf(options.io, options.input);
  const written = /\.ya?ml$/.test(from) ? await parseYaml(text, from) : parseJson(text, from);
  const gates = gatesOf(options.gates);
  const input = {
    ...written,
    ...(Object.keys(gates).length > 0
      ? { gates: { ...(isRecord(written['gates']) ? written['gates'] : {}), ...gates } }
      : {}),
    ...(options.dryRun ? { dryRun: true } : {}),
  };
  const schema: z.ZodType<{ name: string } & CommonInput> = SCHEMAS[strategy];
  const parsed = schema.safeParse(input);
  const problems = parsed.success
    ? [
        ...commonProblems(parsed.data).map((problem) => ({ problem, help: '' })),
        ...(await problemsWithin(strategy, input)),
      ]
    : problemsOf(input, schema);
  if (!parsed.success || problems.length > 0) {
    throw new CliError(`The input of ${strategy} is not right (${from}); nothing was started.`, {
      code: EXIT.usage,
      next: [
        ...problems.flatMap(({ problem, help }) => [`- ${problem}`, ...(help ? [`    ${help}`] : [])]),
        `All fields: docs/reference/inputs.md`,
      ],
    });
  }
  return { strategy, input, workflowId: workflowIdOf(strategy, parsed.data.name) };
}

/** What a fleet or a window starts, and what is rehearsed, has inputs of its own. */
async function problemsWithin(strategy: Strategy, input: Record<string, unknown>): Promise<Problem[]> {
  if (strategy === 'rehearsal') {
    const { RehearsalInput } = await import('../inputs/rehearsal.js');
    const { problemOfRehearsed } = await import('../inputs/schemas.js');
    const rehearsed = RehearsalInput.parse(input);
    const problem = problemOfRehearsed(rehearsed);
    return problem === ''
      ? []
      : [{ problem: `\`input\` is no input of ${rehearsed.strategy}: ${problem}`, help: '' }];
  }
  if (strategy !== 'fleetRollout' && strategy !== 'providerMove') return [];
  const { problemsOfInputs, problemsOfStores } = await import('../inputs/schemas.js');
  const { FleetRolloutInput, wavesOf } = await import('../inputs/fleet-rollout.js');
  const { ProviderMoveInput } = await import('../inputs/provider-move.js');
  const problems =
    strategy === 'fleetRollout'
      ? problemsOfInputs(wavesOf(FleetRolloutInput.parse(input)).flatMap(({ targets }) => targets))
      : problemsOfStores(ProviderMoveInput.parse(input).stores);
  return problems.map((problem) => ({ problem, help: '' }));
}

async function textOf(io: Io, input: string): Promise<{ text: string; from: string }> {
  if (input === '-') return { text: await io.readStdin(), from: 'stdin' };
  if (/^\s*[{[]/.test(input)) return { text: input, from: '--input' };
  try {
    return { text: await readFile(input, 'utf8'), from: input };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    throw new CliError(`The input file ${input} can't be read (${code}).`, {
      code: EXIT.usage,
      next: ["Give --input a file, a JSON object ('{…}'), or - for stdin."],
      cause: error,
    });
  }
}

function parseJson(text: string, from: string): Record<string, unknown> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    // The parser's own message quotes the text around the error, which may hold a password.
    const position = error instanceof Error ? /position (\d+)/.exec(error.message)?.[1] : undefined;
    const before = position === undefined ? null : text.slice(0, Number(position)).split('\n');
    const where = before ? ` at line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1}` : '';
    throw new CliError(`${from} is not JSON${where || (text.trim() === '' ? ': it is empty' : '')}.`, {
      code: EXIT.usage,
    });
  }
  if (!isRecord(parsed)) throw new CliError(`${from} must hold one JSON object.`, { code: EXIT.usage });
  return parsed;
}

async function parseYaml(text: string, from: string): Promise<Record<string, unknown>> {
  const { parseDocument } = await import('yaml');
  const document = parseDocument(text);
  const [error] = document.errors;
  // Its message quotes the text around the error.
  const at = error?.linePos?.[0];
  if (error)
    throw new CliError(`${from} is not YAML${at ? ` at line ${at.line}, column ${at.col}` : ''}.`, {
      code: EXIT.usage,
    });
  const parsed: unknown = document.toJS();
  if (!isRecord(parsed)) throw new CliError(`${from} must hold one object.`, { code: EXIT.usage });
  return parsed;
}

/** `cutover=auto`, `cutover=1`, `cutover=2`. Which gates there are, the schema says. */
function gatesOf(settings: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(
    settings.map((setting) => {
      const [gate, policy] = setting.split('=');
      if (gate && policy === 'auto') return [gate, 'auto'];
      if (gate && (policy === '1' || policy === '2')) return [gate, { approvers: Number(policy) }];
      throw new CliError(`--gate ${setting} is not understood.`, {
        code: EXIT.usage,
        next: ['Give GATE=auto, or GATE=2 for two different approvers.'],
      });
    }),
  );
}
