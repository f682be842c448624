/** @file What is done to each packed application before it is signed: all fuses are set and read back, what runs without the archive is laid beside it, and what was packed is looked at. */
import { FuseState, FuseV1Options, FuseVersion, flipFuses, getCurrentFuseWire, type FuseConfig } from '@electron/fuses';
import { Arch, type AfterPackContext } from 'electron-builder';
import path from 'node:path';
import { layBeside } from './beside.ts';
import { inspect } from './packed.ts';

/** Every fuse of the binary, each said: one that a later Electron adds is refused until it stands here. */
export const fuses = {
  version: FuseVersion.V1,
  strictlyRequireAllFuses: true,
  [FuseV1Options.RunAsNode]: false,
  [FuseV1Options.EnableCookieEncryption]: true,
  [FuseV1Options.EnableNodeOptionsEnvironmentVariable]: false,
  [FuseV1Options.EnableNodeCliInspectArguments]: false,
  [FuseV1Options.EnableEmbeddedAsarIntegrityValidation]: true,
  [FuseV1Options.OnlyLoadAppFromAsar]: true,
  [FuseV1Options.LoadBrowserProcessSpecificV8Snapshot]: false,
  [FuseV1Options.GrantFileProtocolExtraPrivileges]: false,
  [FuseV1Options.WasmTrapHandlers]: true,
} as const satisfies FuseConfig;

/**
 * Sets the fuses of a packed program and reads them back.
 * @param program the executable, or on macOS the `.app`
 * @throws Error if it has other fuses than we know
 */
export async function setFuses(program: string): Promise<void> {
  // what is not signed by us keeps the signature of its linker, which no longer fits: macOS starts nothing on arm64 that lacks one
  const resign = process.platform === 'darwin' && program.endsWith('.app');
  await flipFuses(program, { ...fuses, ...(resign && { resetAdHocDarwinSignature: true }) });
  const wire = new Map(Object.entries(await getCurrentFuseWire(program)));
  for (const option of Object.values(FuseV1Options).filter(option => typeof option === 'number'))
    if (wire.get(String(option)) !== (fuses[option] ? FuseState.ENABLE : FuseState.DISABLE))
      throw new Error(`The fuse ${FuseV1Options[option]} of ${program} could not be set.`);
}

/** electron-builder's hook. @throws Error with a line for each thing that is wrong with what was packed */
export async function afterPack({ appOutDir, arch, electronPlatformName, packager }: AfterPackContext): Promise<void> {
  const { productFilename } = packager.appInfo;
  const programs: Readonly<Record<string, string>> = { darwin: `${productFilename}.app`, win32: `${productFilename}.exe` };
  await setFuses(path.join(appOutDir, programs[electronPlatformName] ?? (packager as { executableName?: string }).executableName!));
  const resources = packager.getResourcesDir(appOutDir);
  layBeside(resources);
  const { wrong } = inspect(resources, electronPlatformName, Arch[arch]);
  if (wrong.length > 0) throw new Error(wrong.join('\n'));
}
