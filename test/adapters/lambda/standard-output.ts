/** The JSON documents that `work` writes to the standard output and error, one a line. */
export function documentsOf(work: () => void): Record<string, unknown>[] {
  const lines: string[] = [];
  const take = (chunk: unknown): boolean => lines.push(String(chunk)) > 0;
  const streams = [process.stdout, process.stderr];
  const originals = streams.map((stream) => stream.write);
  for (const stream of streams) stream.write = take;
  try {
    work();
  } finally {
    streams.forEach((stream, index) => {
      stream.write = originals[index]!;
    });
  }
  return lines
    .join('')
    .split('\n')
    .filter((line) => line.length > 0)
    .map((line) => JSON.parse(line));
}
