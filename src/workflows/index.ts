/** Every workflow type, by name. */
export { redisCopy } from './redis-copy.js';
export { lock } from './lock.js';
export { recover } from './recover.js';
