/* The Temporal UI with a codec server, in a real browser: it reads what is encrypted, and what is said there is encrypted. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { expect, inject, test } from 'vitest';
import { encryption } from '../../src/codec/codec.js';
import { openKeyRing } from '../../src/codec/keys.js';
import { codecServer } from '../../src/codec/server.js';
import { TASK_QUEUE } from '../../src/contract.js';
import { startTemporal } from '../../src/setup/servers.js';
import { world, type Upgrade } from '../support/world.js';
import { openUi } from '../ui/temporal-ui.js';
import { clientWith, keyIds, keysFile, legible, newKey, start, writeKeys } from './support.js';

// Said by the set-up when there is none (src/setup/browser.ts).
const tools = inject('ui');

test.skipIf(tools === null)('reads, asks and approves', { timeout: 300_000 }, async () => {
  if (!tools) throw new Error('there is no browser');
  const folder = mkdtempSync(join(tmpdir(), 'ferry-codec-ui-'));
  const temporal = await startTemporal({ binary: tools.temporal, log: join(folder, 'log'), uiPort: 0 });
  const url = `http://127.0.0.1:${temporal.uiPort}`;
  const w = await world({ temporal: { address: temporal.address, taskQueue: TASK_QUEUE } });
  const ui = await openUi({ browser: tools.browser, url });
  let upgrade: Upgrade | undefined;
  const keys = keysFile(w);
  await writeKeys(keys, newKey('k1'));
  const server = codecServer({ codec: encryption(await openKeyRing(keys)), origins: [url], token: null });
  try {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    w.env['FERRY_CODEC_KEYS'] = keys;
    await w.startWorker();
    upgrade = await start(w, await clientWith(w, keys), { contact: 'planted-contact' });
    await upgrade.until('AwaitingApproval');

    await ui.open(upgrade.id);
    await ui.tab('Event History');
    expect(await ui.page.locator('main').innerText()).not.toContain('Pre-flight checklist');

    // As docs/encryption.md says.
    await ui.page.getByRole('button', { name: 'Configure Codec Server' }).click();
    await ui.page.getByText('Use my browser setting').click();
    const dialog = ui.page.locator('dialog[open]');
    await dialog
      .getByRole('textbox')
      .first()
      .fill(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    await dialog.getByTestId('confirm-modal-button').click();
    await dialog.waitFor({ state: 'hidden' });

    await ui.open(upgrade.id);
    await ui.page.getByText('planted-contact').first().waitFor();
    await ui.tab('Event History');
    await ui.page.getByText('Pre-flight checklist').first().waitFor();
    await ui.tab('User Metadata');
    await expect.poll(() => ui.details(), { timeout: 60_000 }).toContain('Copy every key');
    expect(await ui.query('state')).toContain('AwaitingApproval');

    const update = await ui.say('update', 'approve', { gate: 'cutover', by: 'planted-ada' });
    // The UI does not ask the codec server for what an Update was refused with: docs/encryption.md says so.
    expect(await ui.refusal(update)).toBe('Encoded failure');
    await ui.submit(await ui.say('signal', 'approve', { gate: 'start', by: 'planted-ada' }));
    await upgrade.until((state) =>
      state.gates.some(({ name, status }) => name === 'start' && status === 'approved'),
    );
    // A form that is opened again while the page still takes in the last signal does not let itself be sent (2.54.1).
    await ui.open(upgrade.id);
    await ui.submit(await ui.say('signal', 'approve', { gate: 'cleanup', by: 'planted-ada' }));
    await expect
      .poll(async () => (await upgrade?.state())?.refused[0]?.what, { timeout: 60_000 })
      .toContain('approve');
    const history = await upgrade.handle.fetchHistory();
    expect(legible(history)).not.toContain('planted-');
    expect(new Set(keyIds(history))).toEqual(new Set(['k1']));
  } finally {
    await ui.close();
    await upgrade?.handle.terminate('the test is over').catch(() => {});
    server.closeAllConnections();
    server.close();
    await w.close();
    await temporal.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});
