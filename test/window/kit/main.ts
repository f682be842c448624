/** @file The showcase's beginning: every part of the kit in every state, for its tests and to be looked at. */
import { mount } from 'svelte';
import Showcase from './Showcase.svelte';

mount(Showcase, { target: document.body });
