import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import vue from "@vitejs/plugin-vue";
import { defineConfig } from "vite";

/** What the sources are: the tests see by it, without Node, whether the built files are those of these sources. */
function sources(): string {
  const whole = createHash("sha256");
  for (const name of readdirSync("src").sort()) whole.update(name).update("\0").update(readFileSync(join("src", name)));
  return whole.digest("hex");
}

export default defineConfig({
  plugins: [
    vue(),
    {
      name: "say-of-which-sources",
      generateBundle(_, bundle) {
        const script = bundle["console.js"];
        if (script?.type === "chunk") script.code = `/* Built by "make console". Sources: ${sources()} */\n${script.code}`;
      },
    },
  ],
  base: "./",
  define: { __VUE_OPTIONS_API__: "false", __VUE_PROD_DEVTOOLS__: "false" },
  build: {
    target: "es2022",
    outDir: "../src/backstay/admin/static",
    emptyOutDir: true,
    modulePreload: false,
    cssCodeSplit: false,
    rollupOptions: {
      input: "src/main.ts",
      output: {
        entryFileNames: "console.js",
        assetFileNames: "console.css",
      },
    },
  },
});
