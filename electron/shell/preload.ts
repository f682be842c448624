/** @file All that the window's page gets of Electron: one function a command. No channel, event or path crosses; the main process checks everything anew. */
import { contextBridge, ipcRenderer, webUtils, type IpcRendererEvent } from 'electron';
import type { Bridge } from '../contract/bridge.ts';

const ask = (channel: string, said: unknown): Promise<unknown> => ipcRenderer.invoke(`protagonist:${channel}`, said);
const bridge: Bridge = {
  send: (line, said) => ipcRenderer.send('protagonist:message', { line, said }),
  receive: listener => {
    const heard = (_: IpcRendererEvent, { line, said }: { line: number; said: string | null }) => listener(line, said);
    ipcRenderer.on('protagonist:message', heard);
    return () => void ipcRenderer.off('protagonist:message', heard);
  },
  path: file => {
    const path = webUtils.getPathForFile(file);
    return path === '' ? undefined : ask('path', path);
  },
  keep: (name, bytes) => ask('keep', { name, bytes }),
  pick: what => ask('pick', what),
  save: what => ask('save', what),
  drag: ids => ask('drag', { ids }),
  reveal: id => ask('reveal', { id }),
  asked: listener => {
    const heard = (_: IpcRendererEvent, said: unknown) => listener(said);
    ipcRenderer.on('protagonist:asked', heard);
    return () => void ipcRenderer.off('protagonist:asked', heard);
  },
};
contextBridge.exposeInMainWorld('protagonist', bridge);
