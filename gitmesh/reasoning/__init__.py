"""What units mean for one request: who is admitted, and how it is routed. Pure; knows no mesh; never resolves
anything again.
"""
