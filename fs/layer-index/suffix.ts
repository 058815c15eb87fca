/** What the index of a layer is called: the layer's path and this. */
export const INDEX_SUFFIX = '.lamina-index';
