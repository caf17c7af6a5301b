/* `npm start`: the demo. */
import { bootstrap } from './bootstrap.mjs';

try {
  await bootstrap();
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
const demo = await import('../dist/demo/main.js');
await demo.main?.();
