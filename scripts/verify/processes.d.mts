export declare class Processes {
  constructor(folder: string, options?: { readonly ownGroups?: boolean });
  makeFolder(name: string): string;
  run(name: string, command: string, args: readonly string[], options?: object): Promise<void>;
  endAll(): Promise<void>;
}
