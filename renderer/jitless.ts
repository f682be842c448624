/** @file Imported before all else: parsers are not compiled, since that needs eval, which the policy forbids. They look when they are made. */
import { z } from 'zod';

z.config({ jitless: true });
