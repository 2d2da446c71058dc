import type { PageProps } from '../page.ts';

export function LetterPage({ status }: PageProps) {
  return <h1>Letter {status?.consumers.length}</h1>;
}
