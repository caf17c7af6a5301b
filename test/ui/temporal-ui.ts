/* What people click in the Temporal UI. Nothing here waits for a while: each step waits for what it needs to see. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { chromium, type Locator, type Page } from 'playwright-core';
import { expect } from 'vitest';

/** Where `npm run screenshots` wants the pictures. */
export const PICTURES = process.env['FERRY_SCREENSHOTS'];

const SIZE = { width: 1280, height: 800 };

export interface TemporalUi {
  page: Page;
  /** Fills the form "Start Workflow" and goes to the new workflow. */
  start(
    workflow: { id: string; taskQueue: string; type: string; input: object },
    picture?: string,
  ): Promise<void>;
  open(workflowId: string): Promise<void>;
  tab(name: 'Timeline' | 'Event History' | 'Queries' | 'User Metadata'): Promise<void>;
  /** The text of the workflow's current details, as the browser draws them. */
  details(): Promise<string>;
  /** Fills the dialog of "Send an Update" or "Send a Signal", up to the button. */
  say(kind: 'update' | 'signal', name: string, message: object): Promise<Locator>;
  submit(dialog: Locator): Promise<void>;
  /** The refusal in the dialog; closes it. */
  refusal(dialog: Locator, picture?: string): Promise<string>;
  requestCancellation(): Promise<void>;
  /** What is seen of the answer: the UI draws only the lines that are in view. */
  query(name: string): Promise<string>;
  status(status: 'Running' | 'Completed' | 'Failed'): Promise<void>;
  /** For the docs: of the page, as high as it takes, or of a part of it. */
  picture(name: string, of?: { height?: number; part?: Locator }): Promise<void>;
  close(): Promise<void>;
}

export async function openUi(options: { browser: string; url: string }): Promise<TemporalUi> {
  const browser = await chromium.launch({ executablePath: options.browser });
  const context = await browser.newContext({
    viewport: SIZE,
    timezoneId: 'UTC',
    reducedMotion: 'reduce',
  });
  // What it looks up on the internet, such as news, is nothing that a test should wait for.
  await context.route(
    (url) => url.hostname !== '127.0.0.1',
    (route) => route.abort(),
  );
  const page = await context.newPage();
  // The UI is a large program: on a busy machine its pages take their time.
  page.setDefaultTimeout(100_000);
  page.setDefaultNavigationTimeout(60_000);
  const home = `${options.url}/namespaces/default/workflows`;
  // For whoever has to find out why a page did not come.
  const failed: string[] = [];
  page.on('requestfailed', (request) => failed.push(`${request.url()}: ${request.failure()?.errorText}`));
  page.on('pageerror', (error) => failed.push(error.message));

  /** Types into an editor and makes sure that it holds just that. */
  async function type(editor: Locator, json: object): Promise<void> {
    const held = async () => {
      await editor.click();
      await page.keyboard.press('ControlOrMeta+a');
      await page.keyboard.press('Delete');
      await page.keyboard.insertText(JSON.stringify(json, null, 2));
      // Only then does the form take it.
      await editor.blur();
      expect(JSON.parse(await editor.innerText())).toEqual(json);
    };
    // It formats what it was given, and fills itself with what an earlier workflow of the same ID was given.
    await expect.poll(() => held().then(() => 'held', String), { timeout: 45_000 }).toBe('held');
  }

  const dialog = () => page.locator('dialog[open]');

  const ui: TemporalUi = {
    page,
    async start({ id, taskQueue, type: workflowType, input }, picture) {
      await page.goto(home);
      await page.locator('main').getByRole('link', { name: 'Start Workflow' }).click();
      await page.getByTestId('workflowId').fill(id);
      await page.getByTestId('taskQueue').fill(taskQueue);
      await page.getByTestId('workflowType').fill(workflowType);
      await type(page.locator('.cm-content').first(), input);
      await page.getByText('Task Queue is Active').waitFor();
      if (picture !== undefined) await ui.picture(picture, { height: 1060 });
      await page.getByTestId('start-workflow-button').click();
      await page.getByRole('link', { name: 'Workflow started successfully' }).click();
      await page.getByRole('heading', { name: id }).waitFor();
      // In a picture the notice would cover what is below it.
      if (PICTURES !== undefined) await ui.open(id);
    },
    async open(workflowId) {
      await page.goto(`${home}/${encodeURIComponent(workflowId)}`);
      await page
        .getByRole('heading', { name: workflowId })
        .waitFor()
        .catch(async (error: unknown) => {
          const says = await page.locator('body').innerText();
          throw new Error(`${page.url()} says: ${says}\n${failed.join('\n')}`, { cause: error });
        });
    },
    async tab(name) {
      await page.getByRole('tab', { name }).click();
    },
    async details() {
      return (await page.frameLocator('iframe[title="output"]').locator('main').innerText()).trim();
    },
    async say(kind, name, message) {
      await page.getByRole('button', { name: 'More Actions' }).click();
      await page
        .getByRole('menuitem', { name: kind === 'update' ? 'Send an Update' : 'Send a Signal' })
        .click();
      await dialog().getByTestId(`${kind}-select-button`).click();
      await dialog()
        .getByRole('option', { name: new RegExp(`^${name}\\b`) })
        .click();
      await type(dialog().locator('.cm-content'), message);
      return dialog();
    },
    async submit(open) {
      await open.getByTestId('confirm-modal-button').click();
      await open.waitFor({ state: 'hidden' });
    },
    async refusal(open, picture) {
      await open.getByTestId('confirm-modal-button').click();
      const alert = open.getByRole('alert').filter({ hasText: /\w/ });
      await alert.waitFor();
      if (picture !== undefined) await ui.picture(picture, { part: open });
      const text = await alert.innerText();
      await open.getByTestId('cancel-modal-button').click();
      await open.waitFor({ state: 'hidden' });
      return text.trim();
    },
    async requestCancellation() {
      await page.getByRole('button', { name: 'Request Cancellation' }).click();
      await dialog().getByTestId('confirm-modal-button').click();
      await dialog().waitFor({ state: 'hidden' });
    },
    async query(name) {
      await ui.tab('Queries');
      await page.getByTestId('query-select-button').click();
      await page.getByRole('option', { name: new RegExp(`^${name}\\b`) }).click();
      await page.getByRole('button', { name: /Run Query|Refresh Query/ }).click();
      const answer = page.getByTestId('query-result').filter({ hasText: /[{[]/ });
      await answer.waitFor();
      return answer.innerText();
    },
    async status(status) {
      await page.getByTestId('execution-status').filter({ hasText: status }).waitFor();
    },
    async picture(name, { height = SIZE.height, part } = {}) {
      if (PICTURES === undefined) return;
      mkdirSync(PICTURES, { recursive: true });
      const path = join(PICTURES, `ui-${name}.png`);
      if (height !== SIZE.height) await page.setViewportSize({ ...SIZE, height });
      await page.evaluate('document.fonts.ready');
      await (part ?? page).screenshot({ path, animations: 'disabled' });
      if (height !== SIZE.height) await page.setViewportSize(SIZE);
    },
    close: () => browser.close(),
  };
  return ui;
}
