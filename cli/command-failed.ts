/** Ends a command when all there is to say has been printed. */
export class CommandFailed extends Error {
  override readonly name = 'CommandFailed';
  readonly exitCode: number;

  constructor(exitCode = 1) {
    super(`exit code ${exitCode}`);
    this.exitCode = exitCode;
  }
}
