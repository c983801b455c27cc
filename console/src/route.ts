/** Where one is: the part of the address behind `#`, so that the page needs nothing of the server. */
import { ref } from "vue";

const read = () => location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);

export const route = ref<string[]>(read());

addEventListener("hashchange", () => (route.value = read()));

export function go(...parts: string[]): void {
  location.hash = `/${parts.map(encodeURIComponent).join("/")}`;
}
