"""Open-loop load generator: what a client feels when requests come at their own pace, int8 beside FP32."""
