"""One run: plan, apply, record, recover.

May use every room below; knows neither the command line nor Lambda.
"""
