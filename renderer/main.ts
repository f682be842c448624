/** @file The window's beginning. */
import './jitless.ts';
import { mount } from 'svelte';
import Window from './App.svelte';
import { browserHost } from './host/browser.ts';
import { shellHost } from './host/shell.ts';
import { App } from './state/app.svelte.ts';

const target = document.getElementById('app')!;
const app = new App(window.protagonist ? shellHost(__VERSION__, window.protagonist) : browserHost(__VERSION__));
target.replaceChildren();
mount(Window, { target, props: { app } });
