/** Holds the name of a server for as long as its upgrade runs; ends with it, however that ends. */
import { CancellationScope, condition, defineQuery, setHandler } from '@temporalio/workflow';

export async function lock({ holder }: { holder: string }): Promise<void> {
  setHandler(defineQuery<string>('holder'), () => holder, {
    description: 'The upgrade that holds this lock',
  });
  await CancellationScope.nonCancellable(() => condition(() => false));
}
