exec(open("_phase.py").read().split("t=time.process_time(); asyncio.run(c._sort")[0])
import cProfile, pstats

pr = cProfile.Profile()
pr.enable()
asyncio.run(c._sort_the_rest())
pr.disable()
pstats.Stats(pr).sort_stats("tottime").print_stats(25)
