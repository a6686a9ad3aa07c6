import { expect, test } from 'vitest';
import { EventParser } from './sse';

test('events split anywhere come out whole and in order', () => {
  const text = 'data: {"a":1}\n\n: keep-alive\n\ndata: {"b":2}\r\n\r\ndata: [DONE]\n\n';
  for (let size = 1; size < text.length; ++size) {
    if (text.slice(0, size).endsWith('\r')) continue;
    const parser = new EventParser();
    const events = [...parser.push(text.slice(0, size)), ...parser.push(text.slice(size))];
    expect(events).toEqual(['{"a":1}', '{"b":2}', '[DONE]']);
  }
});

test('an unfinished event waits', () => {
  const parser = new EventParser();
  expect(parser.push('data: half')).toEqual([]);
  expect(parser.push(' more\n\n')).toEqual(['half more']);
});
