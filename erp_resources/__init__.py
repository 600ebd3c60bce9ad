"""The world outside, each part behind one small interface.

What belongs here: the pool file, the warehouse, and the backends that sample, score, embed and load
prompts. What to keep out: orchestration (`erp_assets`) and the mathematics (`erp`).
"""
