/* Swift has no word for it: asks the processor to fetch what lies at an address, which need not even be mapped. */
static inline void martlet_prefetch(const void *address) { __builtin_prefetch(address); }
