/**
 * Every way an upgrade can fail, as one closed table: a stable type, whether trying again can help,
 * and what a person does next. Activities throw `FerryError`; the border with Temporal
 * (`activities/border.ts`, `runbook/failure.ts`) turns it into an ApplicationFailure of the same type.
 */
export const FAILURES = {
  InvalidInput: { retry: false, next: 'Correct the named field and start again. Nothing was changed.' },
  PreflightFailed: {
    retry: false,
    next: 'Correct what the failed checks name and start again. Nothing was changed.',
  },
  WrongWorkflowId: { retry: false, next: 'Start again under the workflow ID that the message names.' },
  Locked: { retry: false, next: 'Wait until the other upgrade has ended, or end it.' },
  MissingSecret: {
    retry: false,
    next: 'Set the named variable, or create the named file, where the worker runs.',
  },
  Unreachable: { retry: true, next: 'Check that the server runs and that the worker can reach the address.' },
  WrongPassword: { retry: false, next: 'Check the user and the password behind the reference.' },
  NotPermitted: {
    retry: false,
    next: 'Grant the named command to the user, or choose an option that does without it.',
  },
  TlsFailed: { retry: false, next: 'Give the private CA as `tls.ca`, or correct `tls.serverName`.' },
  Loading: { retry: true, next: 'Wait until the server has loaded its data.' },
  ReadOnlyTarget: { retry: false, next: 'Give the address of a primary that accepts writes, then retry.' },
  TargetOutOfMemory: { retry: false, next: 'Give the target more memory, then retry.' },
  DiskFull: { retry: false, next: 'Give the disk that the message names more room, then retry.' },
  ClusterMode: {
    retry: false,
    next: 'Redis Ferry moves single servers. Move each shard of a cluster by itself.',
  },
  SameServer: { retry: false, next: 'Give a target that is another server, or map to another database.' },
  TargetNotEmpty: {
    retry: false,
    next: 'Empty the target, or choose `ifTargetHasKeys`: "replace" or "skip" (`postgresMove`: `clean`).',
  },
  FormatRefused: {
    retry: false,
    next: 'The target has no place for what the message names. Change or delete that at the source, leave it out with `match`, or choose a newer target.',
  },
  PauseTooLong: {
    retry: false,
    next: 'Everything resumed on the source. Try again at a calmer moment, or raise `maxPause`.',
  },
  SourceChanged: {
    retry: false,
    next: 'The source was written to since the comparison. Look at what is named, then decide.',
  },
  ComparisonDiffers: {
    retry: false,
    next: 'Look at the sample keys named, then retry the comparison or roll back.',
  },
  WindowMissed: { retry: false, next: 'Give a later window, or roll back.' },
  CommandFailed: { retry: false, next: 'Run the command by hand where the worker runs, then retry.' },
  SentinelsNotReady: {
    retry: false,
    next: 'The source serves. Look at the Sentinels that the message names and at their logs, then retry.',
  },
  WebhookFailed: { retry: true, next: "Check the webhook's address and its log." },
  ProbeFailed: {
    retry: false,
    next: 'Look at the application, then retry, waive the probe by name, or roll back.',
  },
  FileFailed: {
    retry: false,
    next: 'Check that the worker may write the named path and that the disk has room.',
  },
  Unclear: {
    retry: false,
    next: 'Look at where the applications write. If it is the source, nothing is left to undo for this step: leave it. If not, use the break-glass card.',
  },
  WouldLose: {
    retry: false,
    next: 'Retry to go back all the same, and lose what the message names; or stop: the new version goes on serving.',
  },
  BackupFailed: {
    retry: true,
    next: "Look at the server's log and disk, then retry. Nothing was changed by the backup.",
  },
  RestoreFailed: {
    retry: false,
    next: 'Correct what the message names, at the source or at the target, then retry, which restores anew; or roll back.',
  },
  StillUsed: {
    retry: false,
    next: 'End what still uses the old server, then retry; or skip, and it stays as it is.',
  },
  CredentialsRefused: {
    retry: false,
    next: 'Give the worker a valid key of the provider (Heroku: HEROKU_API_KEY), restart it, then retry.',
  },
  NotFound: { retry: false, next: 'Correct the name, or give the account of the worker access to it.' },
  ProviderRefused: { retry: false, next: 'Do what the message of the provider asks for, then retry.' },
  ProviderUnavailable: {
    retry: true,
    next: "Look at the provider's status page and wait. Nothing was changed by this request.",
  },
  OutcomeUnknown: {
    retry: true,
    next: 'Retry: it looks first whether it was done, and does it only if not.',
  },
  UnexpectedReply: {
    retry: false,
    next: 'Read the reply in the message, look at the provider what the state is, then decide. The tool or the service may have changed.',
  },
  NotReady: { retry: false, next: 'Look at the provider how far it is. A retry waits once more.' },
  ForkStuck: {
    retry: false,
    next: 'Roll back, which destroys the fork and gives the apps back what they had; or wait, when Heroku says that it mends it.',
  },
  MaintenanceFailed: {
    retry: false,
    next: 'Look at the maintenances of the add-on (`heroku data:maintenances:info`), then decide.',
  },
  PodNotReady: {
    retry: false,
    next: 'Do what the message says, then retry, which waits once more; or roll back. `ferry diagnose` says more.',
  },
  ToolMissing: { retry: false, next: 'Install the named program where the worker runs, then retry.' },
  KeyMissing: {
    retry: true,
    next: 'Add the named key to the keys where the message comes from (FERRY_CODEC_KEYS); nothing is lost meanwhile.',
  },
  Unknown: { retry: true, next: 'Read the message. If it makes no sense, report it with the journal.' },
} as const satisfies Record<string, { retry: boolean; next: string }>;

export type FailureType = keyof typeof FAILURES;

export function isFailureType(type: unknown): type is FailureType {
  return typeof type === 'string' && Object.hasOwn(FAILURES, type);
}

/** A failure of the table. The message says what and where; `next` of the table says what to do. Never holds a secret. */
export class FerryError extends Error {
  override readonly name = 'FerryError';
  readonly type: FailureType;
  constructor(type: FailureType, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.type = type;
  }
  get retryable(): boolean {
    return FAILURES[this.type].retry;
  }
}
