"""Words that values are made of. Names and addresses of most cultures come from Faker; what it lacks, or writes in another script, stands here."""

# Cultures that names come from. Addresses and companies come from `PLACES`, whose layouts Faker knows well.
NAMES = (
    "en_US en_US en_US en_GB en_GB en_IN en_AU en_NZ en_IE en_CA en_NG de_DE de_AT de_CH fr_FR fr_CA es_ES es_MX es_CO es_AR pt_PT pt_BR it_IT nl_NL nl_BE sv_SE no_NO da_DK "
    "fi_FI pl_PL cs_CZ sk_SK hu_HU ro_RO hr_HR sl_SI lt_LT lv_LV et_EE tr_TR az_AZ id_ID fil_PH zu_ZA en_KE ga_IE yo_NG sw ig_NG ha_NG tw_GH vi_VN"
).split()
PLACES = "en_US en_US en_US en_US en_GB en_GB en_IN en_AU en_NZ en_IE en_CA en_PH de_DE de_AT de_CH fr_FR es_ES es_MX pt_PT pt_BR it_IT nl_NL nl_BE sv_SE no_NO da_DK fi_FI pl_PL cs_CZ sk_SK hu_HU tr_TR id_ID".split()
ROMANISED = {  # names of cultures whose own script an English text does not use
    "zh": ("Wang Li Zhang Liu Chen Yang Huang Zhao Wu Zhou Xu Sun Ma Zhu Hu Guo He Lin Gao Luo".split(), "Wei Fang Xiuying Na Min Jing Qiang Lei Jun Yang Yong Jie Xiaoming Meiling Hao Yuhan Zihan Mingxuan".split()),
    "ja": ("Sato Suzuki Takahashi Tanaka Ito Watanabe Yamamoto Nakamura Kobayashi Kato Yoshida Sasaki Matsumoto".split(), "Haruto Yuto Sota Yui Hina Aoi Sakura Kenji Hiroshi Yuki Naoko Akira Emi Takashi".split()),
    "ko": ("Kim Lee Park Choi Jung Kang Cho Yoon Jang Lim Han Seo Shin Kwon".split(), "Min-jun Seo-yeon Ji-woo Ha-eun Jun-ho Hye-jin Sung-min Eun-ji Young-ho Soo-jin Dong-hyun".split()),
    "ar": ("Al-Farsi Haddad Khalil Mansour Nasser Said Aziz Rahman Hussein Al-Sayed Darwish Bakri Younis Khoury".split(), "Ahmed Mohammed Fatima Aisha Omar Layla Hassan Yusuf Mariam Khalid Noor Zainab Ibrahim Salma".split()),
    "ru": ("Ivanov Smirnova Kuznetsov Popova Sokolov Lebedeva Kozlov Novikova Morozov Petrova Volkov Pavlova".split(), "Aleksandr Dmitri Olga Natalia Sergei Anna Ivan Tatiana Mikhail Elena Yuri Svetlana Oleksandr Oksana".split()),
    "in": ("Sharma Patel Singh Kumar Reddy Iyer Nair Das Banerjee Mehta Gupta Rao Pillai Chowdhury Khan Joshi Verma".split(), "Aarav Priya Rohan Ananya Vikram Lakshmi Arjun Deepa Sanjay Kavita Rahul Meera Imran Farhana Suresh Divya".split()),
    "africa": ("Okafor Adeyemi Mensah Abebe Kamau Mwangi Diallo Traore Nkosi Dlamini Banda Moyo Otieno Eze Asante Tesfaye".split(), "Chinedu Amara Kwame Abena Tendai Zanele Thabo Wanjiru Ousmane Aminata Selam Dawit Ngozi Kofi Lerato".split()),
    "hebrew": ("Cohen Levi Mizrahi Peretz Biton Dahan Avraham Friedman Shapiro Katz Goldberg".split(), "Noam Tamar Yael David Shira Eitan Miriam Avi Rivka Moshe Noa Ari".split()),
    "greek": ("Papadopoulos Nikolaidis Georgiou Pappas Dimitriou Konstantinou Ioannou Vasilakis".split(), "Giorgos Maria Eleni Nikos Dimitra Kostas Katerina Yannis Sofia Petros".split()),
    "persian": ("Ahmadi Hosseini Karimi Rezaei Moradi Jafari Tehrani Farahani".split(), "Reza Sara Ali Maryam Hamid Shirin Navid Parisa Kian Laleh".split()),
    "thai": ("Srisai Wongsuwan Chaiyasit Saetang Rattanakosin Boonmee Phromphan".split(), "Somchai Malee Anong Niran Kanya Preecha Suda Chai Ploy".split()),
}
INDUSTRIES = "Logistics Foods Systems Pharma Textiles Energy Robotics Media Shipping Analytics Insurance Holdings Foundation Laboratories Partners Motors Airlines Records Brewing Capital Consulting Construction Dairy Optics Software".split()
BODIES = (
    "University of {city}|{city} University|{city} General Hospital|St. {first}'s Hospital|Bank of {city}|{city} City Council|{last} & {last2}|{last} and Sons|{last} {industry}|{city} {industry}|"
    "Ministry of {industry}|{city} FC|{last} Institute|The {last} Foundation|{industry} Union of {country}|{city} Police Department|Museum of {city}|{city} High School|{last}, {last2} and Partners|"
    "{city} Housing Association|Royal {industry} Society|{last}{industry}|{city} Public Library|Church of St. {first}|{last} Brothers {industry} Ltd|{city} Times|Radio {city}"
).split("|")
JOBS = "accountant nurse teacher plumber driver engineer baker clerk manager analyst solicitor carpenter dentist pharmacist pilot editor electrician farmer cook designer librarian surgeon barista guard".split()
TITLES = {"en": "Mr. Mrs. Ms. Dr. Prof. Mr Mrs Ms Dr Miss Sir Judge Captain Rev.".split(), "de": "Herr Frau Herrn Dr. Prof.".split(), "fr": "M. Mme Monsieur Madame Dr Maître".split(), "es": "Sr. Sra. Dr. Dra. Don Doña".split(), "it": "Sig. Sig.ra Dott. Dott.ssa Avv.".split(), "pt": "Sr. Sra. Dr. Dra. Dona".split(), "nl": "dhr. mevr. Dr. Drs.".split(), "pl": "Pan Pani Dr".split()}
NATIONALITIES = "American British German French Spanish Italian Portuguese Dutch Polish Swedish Norwegian Danish Finnish Greek Turkish Russian Ukrainian Chinese Japanese Korean Indian Pakistani Bangladeshi Vietnamese Thai Indonesian Filipino Australian Canadian Mexican Brazilian Argentinian Chilean Peruvian Colombian Nigerian Kenyan Ghanaian Egyptian Moroccan Ethiopian Iranian Iraqi Syrian Lebanese Israeli Afghan Irish Scottish Welsh Swiss Austrian Belgian Czech Hungarian Romanian Bulgarian Croatian Serbian Albanian Jamaican Cuban Haitian".split()
CITIES = (
    "London|Paris|New York|Chicago|Los Angeles|Houston|Phoenix|Philadelphia|San Antonio|San Diego|Dallas|Austin|Boston|Seattle|Denver|Detroit|Portland|Las Vegas|Miami|Atlanta|Buffalo|Reading|Mobile|Orlando|"
    "Manchester|Birmingham|Leeds|Glasgow|Edinburgh|Cardiff|Belfast|Bristol|Bath|Sheffield|Liverpool|Newcastle|Dublin|Cork|Galway|Toronto|Montreal|Vancouver|Calgary|Ottawa|Sydney|Melbourne|Perth|Brisbane|Adelaide|"
    "Auckland|Wellington|Christchurch|Berlin|Hamburg|Munich|Cologne|Frankfurt|Stuttgart|Essen|Leipzig|Vienna|Graz|Zurich|Geneva|Basel|Bern|Nice|Lyon|Marseille|Toulouse|Tours|Nantes|Lille|Brussels|Antwerp|Ghent|"
    "Amsterdam|Rotterdam|Utrecht|The Hague|Madrid|Barcelona|Valencia|Seville|Lisbon|Porto|Rome|Milan|Naples|Turin|Florence|Venice|Athens|Thessaloniki|Istanbul|Ankara|Izmir|Warsaw|Kraków|Gdańsk|Prague|Brno|Budapest|"
    "Bucharest|Sofia|Belgrade|Zagreb|Ljubljana|Split|Sarajevo|Kyiv|Lviv|Odesa|Moscow|Riga|Vilnius|Tallinn|Helsinki|Turku|Stockholm|Gothenburg|Malmö|Oslo|Bergen|Copenhagen|Aarhus|Reykjavik|Cairo|Alexandria|Casablanca|"
    "Tunis|Lagos|Abuja|Accra|Nairobi|Mombasa|Kampala|Addis Ababa|Dakar|Johannesburg|Cape Town|Durban|Harare|Lusaka|Dubai|Riyadh|Doha|Beirut|Amman|Baghdad|Tehran|Jerusalem|Tel Aviv|Karachi|Lahore|Mumbai|Delhi|Bengaluru|"
    "Chennai|Kolkata|Pune|Hyderabad|Dhaka|Colombo|Kathmandu|Bangkok|Hanoi|Ho Chi Minh City|Singapore|Kuala Lumpur|Jakarta|Manila|Cebu|Hong Kong|Shanghai|Beijing|Shenzhen|Chengdu|Taipei|Seoul|Busan|Tokyo|Osaka|Kyoto|"
    "Mexico City|Guadalajara|Bogotá|Medellín|Lima|Quito|Santiago|Buenos Aires|Córdoba|Montevideo|São Paulo|Rio de Janeiro|Havana|Kingston"
).split("|")
MONTHS = "January February March April May June July August September October November December".split()
IBAN_FORMS = {"DE": "n18", "GB": "a4n14", "FR": "n20c1n2", "ES": "n20", "IT": "a1n22", "NL": "a4n10", "PL": "n24", "CH": "n17", "AT": "n16", "BE": "n12", "SE": "n20", "PT": "n21", "IE": "a4n14", "TR": "n22", "SA": "n20", "AE": "n19"}
