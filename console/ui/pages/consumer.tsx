import type { PageProps } from '../page.ts';

export function ConsumerPage({ status }: PageProps) {
  return <h1>Consumer {status?.consumers.length}</h1>;
}
