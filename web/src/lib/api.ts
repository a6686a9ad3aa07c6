// The node's HTTP API, as docs/api.md describes it.
import { EventParser } from './sse';

export interface Node {
  id: string; name: string; self: boolean; processor: string; threads: number;
  memory_total_bytes: number; memory_budget_bytes: number; memory_bandwidth_bytes_per_s: number;
  tokens_per_s: number; leaving: boolean;
}
export interface Link { from: string; to: string; interface: string; round_trip_us: number }
export interface Model { name: string; weight_type: string; n_layers: number; file_bytes: number; context_length: number }
/** One of the devices that compute a stage together. */
export interface Member { node: string; node_name: string; share: number }
export interface Stage {
  node: string; node_name: string; layers: [number, number]; members?: Member[];
  state?: 'loading' | 'ready' | 'failed'; done_bytes?: number; total_bytes?: number; error?: string;
}
export interface Instance {
  model: string; epoch: number; strategy: string; ready: boolean; stopped: boolean; problem: string; stages: Stage[];
}
export interface Topology {
  self: string; version: string; nodes: Node[]; links: Link[]; models: Model[]; instances: Instance[];
  refusals: { address: string; name: string; reason: string }[];
}
export interface Message { role: 'user' | 'assistant'; content: string; reasoning?: string; error?: string; stats?: string }

export class ApiError extends Error {
  constructor(readonly status: number, message: string) {
    super(message);
  }
}

const kKeyStore = 'exo-api-key';
export const storedKey = () => localStorage.getItem(kKeyStore) ?? '';
export const storeKey = (key: string) => localStorage.setItem(kKeyStore, key);

async function call(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  if (storedKey()) headers.set('Authorization', `Bearer ${storedKey()}`);
  if (init.body) headers.set('Content-Type', 'application/json');
  const response = await fetch(path, { ...init, headers });
  if (response.ok) return response;
  const body = await response.json().catch(() => null);
  throw new ApiError(response.status, body?.error?.message ?? `HTTP ${response.status}`);
}

export const topology = async (): Promise<Topology> => (await call('/v1/topology')).json();

export const loadModel = (model: string) => call('/v1/instances', { method: 'POST', body: JSON.stringify({ model }) });
export const unloadModel = (model: string) => call(`/v1/instances/${encodeURIComponent(model)}`, { method: 'DELETE' });

export interface Delta { content: string; reasoning: string }

// Streams one answer; resolves with its usage when it is complete. Aborting `signal` stops the model, too.
export async function chat(
  model: string, messages: Message[], signal: AbortSignal, onDelta: (delta: Delta) => void,
): Promise<{ completion_tokens: number; finish: string }> {
  const response = await call('/v1/chat/completions', {
    method: 'POST',
    signal,
    body: JSON.stringify({
      model,
      messages: messages.map(({ role, content }) => ({ role, content })),
      stream: true,
      stream_options: { include_usage: true },
    }),
  });
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  const parser = new EventParser();
  const result = { completion_tokens: 0, finish: '' };
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    for (const data of parser.push(value)) {
      if (data === '[DONE]') continue;
      const event = JSON.parse(data);
      if (event.error) throw new ApiError(500, event.error.message);
      const choice = event.choices?.[0];
      if (choice?.delta) onDelta({ content: choice.delta.content ?? '', reasoning: choice.delta.reasoning_content ?? '' });
      if (choice?.finish_reason) result.finish = choice.finish_reason;
      if (event.usage) result.completion_tokens = event.usage.completion_tokens;
    }
  }
  if (!result.finish) throw new ApiError(0, 'The answer broke off before its end.');
  return result;
}
