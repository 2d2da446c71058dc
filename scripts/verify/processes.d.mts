export declare class Processes {
  constructor(folder: string, options?: { readonly ownGroups?: boolean });
  run(name: string, command: string, args: readonly string[], options?: object): Promise<void>;
  endAll(): Promise<void>;
}
