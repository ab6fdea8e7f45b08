/*
 * base/phone_shim.cpp -- the only file that sees libphonenumber.
 */
#include "base/phone_shim.h"

#include <cstring>
#include <phonenumbers/phonenumberutil.h>
#include <string>

using i18n::phonenumbers::PhoneNumber;
using i18n::phonenumbers::PhoneNumberUtil;

bool phone_shim_parse(const char *text, size_t len, const char *region, PhoneShim *out)
{
    const PhoneNumberUtil *util = PhoneNumberUtil::GetInstance();
    PhoneNumber number;
    if (util->Parse(std::string(text, len), region, &number) != PhoneNumberUtil::NO_PARSING_ERROR)
        return false;
    std::string e164, home;
    util->Format(number, PhoneNumberUtil::E164, &e164);
    if (e164.size() >= sizeof out->e164)
        return false;
    out->valid = util->IsValidNumber(number);
    const PhoneNumberUtil::PhoneNumberType type = util->GetNumberType(number);
    out->mobile = type == PhoneNumberUtil::MOBILE || type == PhoneNumberUtil::FIXED_LINE_OR_MOBILE;
    out->possible_mobile = util->IsPossibleNumberForTypeWithReason(
                               number, PhoneNumberUtil::MOBILE) == PhoneNumberUtil::IS_POSSIBLE;
    if (out->valid)
        util->GetRegionCodeForNumber(number, &home);
    else
        util->GetRegionCodeForCountryCode(number.country_code(), &home);
    if (home.size() != 2)
        home = "ZZ";
    std::memcpy(out->e164, e164.c_str(), e164.size() + 1);
    std::memcpy(out->region, home.c_str(), 3);
    return true;
}
