import svelte from 'eslint-plugin-svelte';
import tseslint from 'typescript-eslint';

export default tseslint.config(
  {
    ignores: [
      'node_modules/',
      'dist/',
      'release/',
      'eslint.config.js',
      'electron/protagonist.js',
      'electron/serve/pages/',
      '.gpu/',
      '.gpu-cuda/',
    ],
  },
  ...tseslint.configs.strictTypeChecked,
  ...svelte.configs.recommended,
  {
    languageOptions: { parserOptions: { projectService: true, extraFileExtensions: ['.svelte'] } },
    rules: {
      '@typescript-eslint/no-non-null-assertion': 'off', // noUncheckedIndexedAccess asks for them where a shape is known
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true, allowAny: false, allowNullish: false },
      ],
      '@typescript-eslint/no-confusing-void-expression': 'off',
      '@typescript-eslint/consistent-type-imports': 'error',
      'no-console': 'error',
    },
  },
  {
    files: ['**/*.svelte', '**/*.svelte.ts'],
    languageOptions: { parserOptions: { parser: tseslint.parser } },
    rules: {
      // svelte-check has the types of what crosses components; eslint sees `any` there
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
      '@typescript-eslint/restrict-template-expressions': 'off', // what a snippet is given
      '@typescript-eslint/no-unnecessary-type-arguments': 'off', // it takes a `generics` attribute for its default
      '@typescript-eslint/no-unnecessary-condition': 'off', // a $state that a binding changes is its first value for it
      'prefer-const': 'off', // svelte/prefer-const knows props
      'svelte/prefer-const': 'error',
      'svelte/prefer-svelte-reactivity': 'off', // a plain Map or Set is meant where it is used
      'svelte/no-at-html-tags': 'error',
      'svelte/no-navigation-without-resolve': 'off', // of SvelteKit
      // the policy forbids them; `style:--name={value}` goes through the CSSOM and is fine
      'no-restricted-syntax': [
        'error',
        {
          selector: 'SvelteElement[kind="html"] > SvelteStartTag > SvelteAttribute[key.name="style"]',
          message: 'No style attributes: a class, or `style:--name={value}`.',
        },
      ],
    },
  },
  { files: ['test/**', 'electron/cli.ts'], rules: { 'no-console': 'off' } },
  { files: ['test/**'], rules: { '@typescript-eslint/no-floating-promises': 'off' } },
  // fakes stand where classes are expected
  {
    files: ['test/support/electron.ts', 'test/support/utility.ts', 'test/support/utility-child.ts', 'test/electron/*.ts'],
    rules: {
      '@typescript-eslint/no-unsafe-class-instance-assignment': 'off',
      '@typescript-eslint/no-misused-spread': 'off',
      '@typescript-eslint/no-extraneous-class': 'off',
      '@typescript-eslint/no-unnecessary-condition': 'off',
      '@typescript-eslint/unbound-method': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
    },
  },
);
