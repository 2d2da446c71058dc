/**
 * Where an archive's objects are: rows as they came, rows that were redriven, and what marks offsets that hold no row. By
 * the topic's epoch, so that a topic that was created again begins anew.
 */
export function archivePrefixes(topic: string, epoch: number): readonly string[] {
  return ['topics', 'redriven', 'holes'].map((kind) => `${kind}/${topic}/${epoch}/`);
}
