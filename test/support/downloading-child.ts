/** @file A process that downloads what its one argument (JSON) says, so that it can be killed: `{ entry, folder, endpoint, offline?, idleSeconds? }`. Prints one line of JSON: `{ downloaded }` or `{ code, text }`. */
import { StudioError } from '../../electron/contract/errors.ts';
import { startDownload, type Downloadable } from '../../electron/studio/downloads.ts';
import { openNetwork } from '../../electron/studio/network.ts';

const { entry, folder, endpoint, offline, idleSeconds } = JSON.parse(process.argv[2]!) as {
  entry: Downloadable;
  folder: string;
  endpoint: string;
  offline?: boolean;
  idleSeconds?: number;
};
const network = openNetwork({ endpoint, offline: offline ?? false, idleSeconds: idleSeconds ?? 30 });
try {
  const downloaded = await startDownload(entry, { folder, network, accepted: entry.licence.name, reserve: 0, patience: 2 }).done;
  console.log(JSON.stringify({ downloaded }));
} catch (error) {
  console.log(JSON.stringify({ code: error instanceof StudioError ? error.code : 'other', text: (error as Error).message }));
}
