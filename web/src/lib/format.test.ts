import { expect, test } from 'vitest';
import { bytes, layerSpan } from './format';

test('bytes are short and exact at the borders', () => {
  expect(bytes(1023)).toBe('1023 B');
  expect(bytes(1024)).toBe('1.0 KiB');
  expect(bytes(5 * 1024 ** 3)).toBe('5.0 GiB');
});

test('layer spans are inclusive', () => {
  expect(layerSpan([0, 12])).toBe('layers 0–11');
  expect(layerSpan([3, 4])).toBe('layer 3');
});
