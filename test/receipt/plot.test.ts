/* Plots of the page: what a reader finds in them, gaps, odd series, and that words stay words. */
import { describe, expect, test } from 'vitest';
import type { Plot } from '../../src/contract.js';
import { receiptHtml } from '../../src/receipt/html.js';
import { CLEAN } from './fixtures.js';

const START = Date.parse('2026-03-01T02:00:00Z');

function plot(values: (number | null)[], more: Partial<Plot> & { every?: number } = {}): Plot {
  const { every = 10, ...rest } = more;
  return {
    title: 'Waiting time',
    unit: 'ms',
    points: values.map((value, nth) => [START + nth * every, value]),
    marks: [],
    ...rest,
  };
}

const page = (...plots: Plot[]): string => receiptHtml({ ...CLEAN, plots });
const all = (html: string, pattern: RegExp): string[] =>
  [...html.matchAll(pattern)].map(([, text = '']) => text.trim().replaceAll(/\s+/g, ' '));
const lines = (html: string): string[] => all(html, /<path\s+class="line"\s+d="([^"]*)"/g);
const levels = (html: string): string[] => all(html, /<span\s+class="level"[^>]*>([^<]*)<\/span\s*>/g);
const times = (html: string): string[] =>
  all(
    html.slice(html.indexOf('<div class="times">')).split('</div>')[0] ?? '',
    /<span[^>]*>([^<]*)<\/span\s*>/g,
  );

describe('a plot', () => {
  test('has a line, levels in round numbers with their unit, the highest value and the median', () => {
    const html = page(plot([0.2, 0.3, 22.4, 0.2, 0.3]));
    expect(lines(html)).toHaveLength(1);
    expect(lines(html)[0]?.split('L')).toHaveLength(5);
    expect(levels(html)).toEqual(['0 ms', '10 ms', '20 ms', '30 ms']);
    expect(html).toContain('most 22.4 ms, median 0.3 ms');
  });

  test('is broken where nothing could be measured, and a value by itself is a dot', () => {
    const html = page(plot([1, 2, null, null, 3, null, 4, 5]));
    const drawn = lines(html);
    expect(drawn.map((line) => line.split('L').length)).toEqual([2, 1, 2]);
    expect(drawn[1]).toMatch(/h0$/);
  });

  test('counts time from its first mark where that is near, and says when that was', () => {
    const near = page(plot([1, 9, 1, 1, 1, 1, 1, 1], { marks: [{ at: START + 20, says: 'the switch' }] }));
    expect(times(near)).toEqual(['−20 ms', '−10 ms', '0', '+10 ms', '+20 ms', '+30 ms', '+40 ms', '+50 ms']);
    expect(near).toContain('0 is 02:00:00.020 UTC on 2026-03-01');
    expect(all(near, /<path\s+class="mark"\s+d="([^"]*)"/g)).toHaveLength(1);
    expect(near).toContain('the switch');
    const day = page(
      plot(
        Array.from({ length: 200 }, (_, n) => n),
        { every: 432_000, unit: 'bytes' },
      ),
    );
    expect(times(day)).toEqual(['06:00', '12:00', '18:00', '03-02']);
    expect(day).toContain('2026-03-01 to 2026-03-02');
    expect(levels(day).slice(0, 3)).toEqual(['0 bytes', '64 bytes', '128 bytes']);
  });

  test('a mark outside of what was measured is left out', () => {
    const html = page(plot([1, 2], { marks: [{ at: START - 1, says: 'too early' }] }));
    expect(html).not.toContain('too early');
  });

  test.each<[string, Plot]>([
    ['nothing', plot([])],
    ['only gaps', plot([null, null])],
    ['one value', plot([3])],
    ['zeros', plot([0, 0, 0])],
    ['no numbers', plot([Number.NaN, Infinity, 1, -1])],
    ['an unknown unit', plot([1, 2], { unit: 'commands/s' })],
    [
      'times that no calendar has',
      {
        ...plot([]),
        points: [
          [1e300, 1],
          [2e300, 2],
        ],
      },
    ],
    [
      'the same moment twice',
      {
        ...plot([]),
        points: [
          [START, 1],
          [START, 2],
        ],
      },
    ],
  ])('bears %s', (_, odd) => {
    const html = page(odd);
    expect(html).toContain('<figure class="plot">');
    expect(html).not.toMatch(/NaN|Infinity|undefined|Invalid/);
  });

  test('needs no script and nothing from elsewhere; its words are escaped', () => {
    const poison = `"><script>x</script>'`;
    const html = page(
      plot([1, 2, 3], { title: poison, unit: poison, marks: [{ at: START + 10, says: poison }] }),
    );
    expect(html).not.toMatch(/<script|\b(src|href)=|url\(/);
    expect(html).toContain('&lt;script&gt;');
    const tags = (text: string) => text.match(/<\w+/g)?.length;
    const harmless = plot([1, 2, 3], { title: 'a', unit: 'a', marks: [{ at: START + 10, says: 'a' }] });
    expect(tags(html)).toBe(tags(page(harmless)));
  });

  test('without any the page has no such part', () => {
    expect(receiptHtml(CLEAN)).not.toContain('Over time');
  });
});
