/** Style and script of the page, made by `npm run build` from `style.css` and `client/`. */
declare module "#page/assets.js" {
  /** A text, and the source expression by which a content security policy allows it: `sha256-…`. */
  interface Asset {
    readonly text: string;
    readonly hash: string;
  }
  export const STYLE: Asset;
  export const SCRIPT: Asset;
}
