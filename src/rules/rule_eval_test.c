#include "rules/rule_testkit.h"
