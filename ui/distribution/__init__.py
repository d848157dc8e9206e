"""The Distribution page: Fig. 3, the long tail, and single songs over their days."""
