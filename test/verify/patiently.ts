/**
 * Tries again until it works: a broker takes a while to know of a topic that it has just created, and longer where the machine
 * is busy. The test's own timeout is the bound.
 */
export async function patiently<Outcome>(work: () => Promise<Outcome>): Promise<Outcome> {
  for (;;) {
    try {
      return await work();
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
  }
}
