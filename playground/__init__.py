"""The embedded default: a generated prompt corpus, and tiny LLMs and reward models trained by our own code.

What belongs here: everything that makes the playground pool run offline on a laptop CPU, from the
prompts (`corpus`, `tasks`, `checkers`) to the training of the models in `models/` (`tokenizer`,
`train_llms`, `preferences`, `tastes`, `train_reward_models`, `train`). What to keep out: anything that
another pool could use; that belongs in `erp_resources`. Nothing in `erp`, `erp_resources` or
`erp_assets` imports this package: pools/playground.yaml names its functions and folders.
"""
