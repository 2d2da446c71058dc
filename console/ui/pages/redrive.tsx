import type { PageProps } from '../page.ts';

export function RedrivePage({ status }: PageProps) {
  return <h1>Redrive {status?.consumers.length}</h1>;
}
