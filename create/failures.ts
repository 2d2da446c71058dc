/** A failure with all that a person has to know of it. */
export class Failed extends Error {
  override readonly name: string = 'Failed';
  readonly exitCode: number;

  constructor(message: string, exitCode = 1, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
  }
}

/** A command line that makes no sense. */
export class Misused extends Failed {
  override readonly name = 'Misused';

  constructor(message: string) {
    super(message, 2);
  }
}
